"""What a job needs around its work: seeds, threads, processes, devices, provenance and the source files it depends on."""
