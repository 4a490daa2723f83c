// The versions of the C libraries that the program runs with, as they themselves say.
#pragma once

/// Libraries in a table.
int mmoe_library_count(void);

/// The name of a library, as its project writes it.
const char *mmoe_library_name(int index);

/// Its version as text, valid until the end of the process. To be called by one thread at a time.
const char *mmoe_library_version(int index);
