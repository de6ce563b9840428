"""The page in headless Chromium: it opens from the disk, sorts, filters and shows a system, on a desk and on a phone.

This needs Chromium (Debian: apt-get install chromium) and is skipped where there is none.
"""

import os
import shutil

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
playwright = pytest.importorskip("playwright.sync_api", reason="the tests of the page need playwright, from PyPI")
expect = playwright.expect


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


def head(page, title):
    return page.locator("#systems-table thead th", has_text=title).first


def test_all_sections_are_filled(opened):
    assert opened.title() == "Results of the run made"
    assert opened.locator("#training-charts canvas").count() == 3
    assert opened.locator("#calibration-charts canvas").count() == 2
    assert opened.locator("#calibration-table tbody tr").count() == 2
    expect(opened.locator(".dt-info")).to_have_text("1 to 10 of 24 systems")
    images = opened.locator("img, canvas[role=img], svg[role=img], [role=img]")
    for number in range(images.count()):
        image = images.nth(number)
        assert image.get_attribute("alt") or image.get_attribute("aria-label")


def test_it_sorts_by_mouse_and_by_keyboard(opened):
    head(opened, "Noise").click()
    expect(head(opened, "Noise")).to_have_attribute("aria-sort", "ascending")
    ascending = list(map(float, column(opened, "Noise")))
    assert ascending == sorted(ascending) and len(ascending) == 10
    head(opened, "Noise").locator("[tabindex='0']").focus()
    opened.keyboard.press("Enter")
    expect(head(opened, "Noise")).to_have_attribute("aria-sort", "descending")
    descending = list(map(float, column(opened, "Noise")))
    assert descending == sorted(descending, reverse=True) and descending[0] > ascending[-1]
    head(opened, "Refined").click()  # the largest error first, and those without a fit last
    expect(head(opened, "Refined")).to_have_attribute("aria-sort", "descending")
    assert column(opened, "Refined")[:2] == ["5.00", "0.50"]


def test_it_filters(opened):
    shown = opened.locator(".dt-info")
    opened.select_option("#filter-camera", label="Keck AO")
    expect(shown).to_contain_text("of 12 systems (of 24)")
    assert set(column(opened, "Camera")) == {"Keck AO"}
    opened.select_option("#filter-exact", "yes")
    expect(shown).to_contain_text("no system")  # the certified ones are those of the other camera
    opened.click("#filters button[type=reset]")
    expect(shown).to_have_text("1 to 10 of 24 systems")
    opened.select_option("#filter-exact", "no")
    expect(shown).to_contain_text("of 7 systems")
    assert set(column(opened, "Certified")) == {"no: few"}
    opened.click("#filters button[type=reset]")
    opened.select_option("#filter-method", label="Refined")
    opened.fill("#filter-error", "4")
    expect(shown).to_contain_text("of 1 systems")
    assert column(opened, "Refined") == ["5.00"]
    opened.fill("#filter-error", "")
    expect(shown).to_have_text("1 to 10 of 24 systems")
    least = sorted(map(float, column(opened, "Noise")))[4]
    opened.fill("#filter-low", str(least))
    expect(shown).to_contain_text("(of 24)")
    assert min(map(float, column(opened, "Noise"))) >= least
    opened.evaluate("""() => {  // typed at once after the reset: what is typed must stay
      document.querySelector("#filters button[type=reset]").click();
      const search = document.querySelector(".dt-search input");
      search.value = "keck_a-test-000003";
      search.dispatchEvent(new Event("input", {bubbles: true}));
    }""")
    expect(shown).to_contain_text("of 1 systems")
    assert column(opened, "System") == ["keck_a-test-000003"]


def test_errors_are_those_of_the_target_that_is_chosen(opened):
    first = opened.locator("#systems-table tbody tr").first
    said, before = first.inner_text(), column(opened, "ViT")
    opened.select_option("#measure", label="γ′")
    expect(first).not_to_have_text(said, use_inner_text=True)
    after = column(opened, "ViT")
    assert before != after and any(error.startswith("−") for error in after)
    said = first.inner_text()
    opened.select_option("#measure", "worst")
    expect(first).not_to_have_text(said, use_inner_text=True)
    assert all(float(worst) >= float(rms) for worst, rms in zip(column(opened, "ViT"), before, strict=True))


def test_it_shows_a_system(opened):
    opened.locator("button.system").nth(1).click()
    article = opened.locator("#system")
    title, pictures = article.locator("h3"), article.locator("#pictures canvas")
    expect(pictures).to_have_count(3)
    expect(title).to_have_text("hst_a-test-000001")
    assert "certified" in article.inner_text()
    colours = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert all(pictures.nth(number).evaluate(colours) > 5 for number in range(3))
    rows = article.locator("#parameters tbody tr")
    assert rows.count() == 8 and "5.00" in rows.first.inner_text()  # sigma, of the fit
    paths = article.locator("#ellipses path[data-method=refined]")
    assert paths.count() == 2 and "NaN" not in article.locator("#ellipses").inner_html()
    wide = paths.first.bounding_box()["width"]
    for network in ("ViT", "ResNet"):
        article.get_by_label(network, exact=True).uncheck()
    expect(article.locator("#ellipses path[data-method=resnet]")).to_have_count(0)
    assert paths.first.bounding_box()["width"] > 3 * wide  # the axes reach as far as what is shown
    article.locator("#all-pairs summary").click()
    expect(article.locator("#corner svg rect")).to_have_count(28)
    opened.click("#system-next")
    expect(title).to_have_text("hst_a-test-000002")
    assert opened.url.endswith("#system=hst_a-test-000002")
    opened.click("#system-close")
    expect(article).to_be_hidden()


def test_a_system_without_a_fit_says_so(opened):
    opened.fill(".dt-search input", "keck_a-test-000011")
    expect(opened.locator("button.system")).to_have_count(1)
    opened.locator("button.system").focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#pictures")).to_contain_text("There is no model")
    assert opened.locator("#pictures canvas").count() == 1
    expect(opened.locator("#system")).to_be_focused()  # where a reader goes on by keyboard


def test_the_address_of_a_system_opens_it(opened):
    other = opened.context.new_page()
    other.goto(opened.url + "#system=keck_a-test-000002")
    expect(other.locator("#system-title")).to_have_text("keck_a-test-000002")
    expect(other.locator("#system-title")).to_be_in_viewport()


def test_a_number_of_table_1_says_how_it_was_made(opened):
    opened.locator("button.origin[data-column=vit][data-row=overall]").focus()
    opened.keyboard.press("Enter")
    dialog = opened.locator("dialog")
    expect(dialog).to_be_visible()
    said = dialog.inner_text()
    assert "0.1554(64): ViT, overall" in said and "results/made/predictions/vit.parquet" in said
    assert "lensvit table > log" in said and "lensvit.table 0123456789abcdef" in said
    for rule in ("evaluate", "catalog", "simulate"):
        dialog.locator("summary", has_text=rule).click()
    expect(dialog).to_contain_text("lensvit evaluate --model vit")
    expect(dialog).to_contain_text("lensvit catalog <b>")
    assert "--model resnet" not in dialog.inner_text()
    opened.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert opened.evaluate("document.activeElement.dataset.column") == "vit"


def test_the_calibration_of_another_target(opened):
    opened.select_option("#calibration-target", "joint")
    opened.select_option("#calibration-state", "recalibrated")
    titles = opened.locator("#calibration-charts h3")
    expect(titles.last).to_contain_text("all targets jointly")
    expect(titles).to_have_count(2)
    expect(opened.locator("#calibration-charts canvas")).to_have_count(2)
