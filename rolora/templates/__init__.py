"""Files that `rolora new` writes, with $name, $module and $title to be filled in."""
