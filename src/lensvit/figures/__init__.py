"""The paper's figures, one module each; :mod:`lensvit.figures.style` is what they share."""
