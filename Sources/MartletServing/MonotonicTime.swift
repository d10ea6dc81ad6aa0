import Dispatch

/// Nanoseconds of a clock that only goes forward.
enum MonotonicTime {
    static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    /// When nobody waits for a request any more that came at a moment; nil where it may take any time.
    static func deadline(_ microseconds: Int?, from moment: UInt64) -> UInt64? {
        // A wait of more than a day is no deadline.
        microseconds.map { moment &+ UInt64(clamping: min(max($0, 0), 86_400_000_000)) &* 1_000 }
    }
}
