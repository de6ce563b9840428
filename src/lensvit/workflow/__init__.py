"""What concerns the workflow as a whole: Snakemake's locks, what is tried before a run, and what it costs."""
