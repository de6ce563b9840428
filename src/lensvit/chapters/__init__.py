"""The chapters of the paper: one package each, with the same name in config.yaml, rules/ and paper/chapters/."""
