"""lensvit: from settings to paper.pdf, one module a stage.

settings -> PSFs -> images -> catalogue -> weights -> draws -> table and figures -> paper
"""

__version__ = "0.1.0"
