//! Writing bundles.
