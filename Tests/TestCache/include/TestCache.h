// Gives the tests and the programs that they start a cache of their own, before any of their code runs: what they make must not
// pile up in the user's home.
#pragma once

/// The folder, which goes at the end of the process.
const char *mmoe_test_cache(void);
