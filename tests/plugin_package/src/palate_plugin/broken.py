"""A part that cannot be loaded, as after an update of something it needs."""

import a_library_that_is_not_installed

judge = a_library_that_is_not_installed.judge
