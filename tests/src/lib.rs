//! The whole system, one file a story.
