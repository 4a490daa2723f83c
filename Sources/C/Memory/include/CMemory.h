// What Linux does with pages that Swift cannot ask for: `mremap` has a variable number of arguments.
#pragma once

#include <stdbool.h>
#include <stddef.h>

/// Gives whole pages to another place of anonymous memory, whose own pages are dropped; the first place stays mapped and reads
/// as zeros. False where the system cannot: then either place reads as zeros or as before.
bool mmoe_move_pages(void *from, void *to, size_t bytes);
