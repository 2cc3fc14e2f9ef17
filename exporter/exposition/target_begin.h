// From here to target_end.h functions are compiled for BAO_TARGET. Headers of others come before:
// what they define must run on any machine.
#if defined(__clang__)
#define BAO_PRAGMA(text) _Pragma(#text)
#define BAO_PUSH(isa) \
  BAO_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
BAO_PUSH(BAO_TARGET)
#else
#pragma GCC push_options
#define BAO_PRAGMA(text) _Pragma(#text)
#define BAO_PUSH(name) BAO_PRAGMA(GCC target(name))
BAO_PUSH(BAO_TARGET)
#endif
