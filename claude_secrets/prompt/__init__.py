"""Ways to ask the person: page, browser, dialog, terminal."""
