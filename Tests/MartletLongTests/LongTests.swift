import Testing

/// All tests of this target: real processes for a long time, one test after another.
@Suite(.serialized) enum LongTests {}
