import CTorch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What concerns libtorch as a whole in this process.
public enum Torch {
    /// libtorch's version, such as `2.13.0`.
    public static var version: String { text(ct_version()) }

    /// The instruction set that libtorch's own kernels use here, such as `AVX2`.
    public static var cpuCapability: String { text(ct_cpu_capability()) }

    /// Threads that one operator uses, for calls from this thread.
    public static var threadCount: Int { Int(ct_threads()) }

    public static func setThreadCount(_ count: Int) throws {
        guard count >= 1, count <= 1024 else {
            throw TensorError(.value, "\(count) is not a number of threads; use 1 to 1024")
        }
        try check(ct_set_threads(Int32(count)))
    }

    /// Whether only operators whose results do not hang on the order of threads are used; the others then throw.
    public static var isDeterministic: Bool { ct_deterministic() }

    public static func setDeterministic(_ enabled: Bool) throws {
        try check(ct_set_deterministic(enabled))
    }

    /// Waits until the device has done what it was told.
    public static func synchronize(_ device: Device) throws {
        try check(ct_synchronize(device.bits))
    }

    /// Bytes in use now and at most: libtorch's own account on a GPU, the process's resident memory on the CPU.
    public static func memory(_ device: Device = .cpu) -> (current: Int, peak: Int) {
        var current: Int64 = 0
        var peak: Int64 = 0
        if ct_memory(device.bits, &current, &peak) { return (Int(current), Int(peak)) }
        var usage = rusage()
        #if os(Linux)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            let most = Int(usage.ru_maxrss) * 1024
        #else
            getrusage(RUSAGE_SELF, &usage)
            let most = Int(usage.ru_maxrss)
        #endif
        return (residentBytes() ?? most, most)
    }

    /// Runs `body(begin, end)` over parts of `0 ..< count` on libtorch's own threads.
    public static func parallel(
        _ count: Int, grain: Int, _ body: @convention(c) (Int64, Int64, UnsafeMutableRawPointer?) -> Void,
        _ context: UnsafeMutableRawPointer
    ) {
        ct_parallel_for(Int64(count), Int64(grain), body, context)
    }

    /// The same in parts of `size`, which the threads take by turns: one that the system interrupts does not hold the
    /// others up for long.
    public static func parallel(
        _ count: Int, turns size: Int, _ body: @convention(c) (Int64, Int64, UnsafeMutableRawPointer?) -> Void,
        _ context: UnsafeMutableRawPointer
    ) {
        ct_parallel_turns(Int64(count), Int64(size), body, context)
    }

    private static func residentBytes() -> Int? {
        guard let file = fopen("/proc/self/statm", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            .split(separator: " ")
        guard words.count > 1, let pages = Int(words[1]) else { return nil }
        return pages * Int(getpagesize())
    }

    private static func text(_ owned: UnsafeMutablePointer<CChar>?) -> String {
        guard let owned else { return "unknown" }
        defer { ct_free(owned) }
        return String(cString: owned)
    }
}
