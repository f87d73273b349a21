//! Public feeds from their original servers or a mirror.
