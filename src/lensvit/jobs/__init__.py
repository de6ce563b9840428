"""What a job needs around its work: seeds, threads, processes, devices, provenance and the files of its code."""
