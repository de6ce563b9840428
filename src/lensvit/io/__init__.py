"""Reading and writing: files that are whole or absent, tables, settings, images, results that chapters share."""
