"""Reading and writing: files that are whole or absent, tables, settings, images and the products that chapters share."""
