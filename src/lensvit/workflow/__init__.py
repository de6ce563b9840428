"""What concerns the workflow as a whole: Snakemake's locks, and what a run costs."""
