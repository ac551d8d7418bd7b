"""Django management commands, one module each: account, alias, domain, exportcsv, importcsv."""
