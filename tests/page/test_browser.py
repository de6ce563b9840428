"""The page in headless Chromium: it opens from the disk, sorts, filters and shows a system, on a desk and on a phone.

This needs Chromium (Debian: apt-get install chromium) and is skipped where there is none.
"""

import os
import shutil

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
playwright = pytest.importorskip("playwright.sync_api", reason="the tests of the page need playwright, from PyPI")


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window, which reaches no network."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("the tests of the page need Chromium (Debian: apt-get install chromium), and there is none")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # which root cannot have
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def opened(chromium, made_page, request):
    """The page, opened from the disk; afterwards, that nothing was amiss on it."""
    width, height = WIDTHS[request.param]
    context = chromium.new_context(viewport={"width": width, "height": height}, offline=True)
    page, amiss = context.new_page(), []
    page.on("console", lambda said: amiss.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: amiss.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else amiss.append(asked.url))
    page.goto(made_page.as_uri())
    page.wait_for_selector("html[data-ready=yes]", state="attached")
    yield page
    assert amiss == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing but tables is wider than the screen
    context.close()


def column(page, title):
    """The cells of a column of the table of systems that are shown now, from the top."""
    heads = page.locator("#systems-table thead th").all_inner_texts()
    place = next(number for number, head in enumerate(heads) if head.strip().startswith(title))
    return page.locator(f"#systems-table tbody td:nth-child({place + 1})").all_inner_texts()


def info(page):
    return page.locator(".dt-info").inner_text()


def head(page, title):
    return page.locator("#systems-table thead th", has_text=title).first


def test_all_sections_are_filled(opened):
    assert opened.title() == "Results of the run made"
    assert opened.locator("#training-charts canvas").count() == 3
    assert opened.locator("#calibration-charts canvas").count() == 2
    assert opened.locator("#calibration-table tbody tr").count() == 2
    assert info(opened) == "1 to 10 of 24 systems"
    images = opened.locator("img, canvas[role=img], svg[role=img], [role=img]")
    for number in range(images.count()):
        image = images.nth(number)
        assert image.get_attribute("alt") or image.get_attribute("aria-label")


def test_it_sorts_by_mouse_and_by_keyboard(opened):
    head(opened, "Noise").click()
    ascending = list(map(float, column(opened, "Noise")))
    assert ascending == sorted(ascending) and len(ascending) == 10
    assert head(opened, "Noise").get_attribute("aria-sort") == "ascending"
    head(opened, "Noise").locator("[tabindex='0']").focus()
    opened.keyboard.press("Enter")
    descending = list(map(float, column(opened, "Noise")))
    assert descending == sorted(descending, reverse=True) and descending[0] > ascending[-1]
    head(opened, "Refined").click()  # the largest error first, and those without a fit last
    assert column(opened, "Refined")[:2] == ["5.00", "0.50"]


def test_it_filters(opened):
    opened.select_option("#filter-camera", label="Keck AO")
    assert set(column(opened, "Camera")) == {"Keck AO"} and "of 12 systems (of 24)" in info(opened)
    opened.select_option("#filter-exact", "yes")
    assert info(opened).startswith("no system")  # the certified ones are those of the other camera
    opened.click("#filters button[type=reset]")
    assert info(opened) == "1 to 10 of 24 systems"
    opened.select_option("#filter-exact", "no")
    assert set(column(opened, "Certified")) == {"no: few"} and "of 7 systems" in info(opened)
    opened.click("#filters button[type=reset]")
    opened.select_option("#filter-method", label="Refined")
    opened.fill("#filter-error", "4")
    assert column(opened, "Refined") == ["5.00"]
    opened.fill("#filter-error", "")
    least = sorted(map(float, column(opened, "Noise")))[4]
    opened.fill("#filter-low", str(least))
    assert min(map(float, column(opened, "Noise"))) >= least and "(of 24)" in info(opened)
    opened.click("#filters button[type=reset]")
    opened.fill(".dt-search input", "keck_a-test-000003")
    assert column(opened, "System") == ["keck_a-test-000003"]


def test_errors_are_those_of_the_target_that_is_chosen(opened):
    before = column(opened, "ViT")
    opened.select_option("#measure", label="γ′")
    after = column(opened, "ViT")
    assert before != after and any(error.startswith("−") for error in after)
    opened.select_option("#measure", "worst")
    assert all(float(worst) >= float(rms) for worst, rms in zip(column(opened, "ViT"), before, strict=True))


def test_it_shows_a_system(opened):
    opened.locator("button.system").nth(1).click()
    article = opened.locator("#system")
    article.locator("canvas").nth(2).wait_for()
    assert article.locator("h3").inner_text() == "hst_a-test-000001" and "certified" in article.inner_text()
    pictures = article.locator("#pictures canvas")
    assert pictures.count() == 3
    colours = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert all(pictures.nth(number).evaluate(colours) > 5 for number in range(3))
    rows = article.locator("#parameters tbody tr")
    assert rows.count() == 8 and "5.00" in rows.first.inner_text()  # sigma, of the fit
    paths = article.locator("#ellipses path[data-method=refined]")
    assert paths.count() == 2 and "NaN" not in article.locator("#ellipses").inner_html()
    wide = paths.first.bounding_box()["width"]
    for network in ("ViT", "ResNet"):
        article.get_by_label(network, exact=True).uncheck()
    assert paths.first.bounding_box()["width"] > 3 * wide  # the axes reach as far as what is shown
    article.locator("#all-pairs summary").click()
    assert article.locator("#corner svg rect").count() == 28
    opened.click("#system-next")
    assert article.locator("h3").inner_text() == "hst_a-test-000002" and "#system=hst_a-test-000002" in opened.url
    opened.click("#system-close")
    assert not article.is_visible()


def test_a_system_without_a_fit_says_so(opened):
    opened.fill(".dt-search input", "keck_a-test-000011")
    opened.keyboard.press("Tab")
    opened.locator("button.system").first.focus()
    opened.keyboard.press("Enter")
    opened.locator("#pictures canvas").first.wait_for()
    assert opened.locator("#pictures canvas").count() == 1
    assert "There is no model" in opened.locator("#pictures").inner_text()
    assert opened.evaluate("document.activeElement.id") == "system"  # where a reader goes on by keyboard


def test_a_number_of_table_1_says_how_it_was_made(opened):
    opened.locator("button.origin[data-column=vit][data-row=overall]").focus()
    opened.keyboard.press("Enter")
    dialog = opened.locator("dialog")
    said = dialog.inner_text()
    assert "0.1554(64): ViT, overall" in said and "results/made/predictions/vit.parquet" in said
    assert "lensvit table > log" in said and "lensvit.table 0123456789abcdef" in said
    for rule in ("evaluate", "catalog", "simulate"):
        dialog.locator("summary", has_text=rule).click()
    said = dialog.inner_text()
    assert "lensvit evaluate --model vit" in said and "--model resnet" not in said and "lensvit catalog <b>" in said
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert opened.evaluate("document.activeElement.dataset.column") == "vit"


def test_the_calibration_of_another_target(opened):
    opened.select_option("#calibration-target", "joint")
    opened.select_option("#calibration-state", "recalibrated")
    titles = opened.locator("#calibration-charts h3").all_inner_texts()
    assert len(titles) == 2 and all("all targets jointly" in title for title in titles)
    assert opened.locator("#calibration-charts canvas").count() == 2
