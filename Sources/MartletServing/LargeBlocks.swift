import Foundation

/// What the C library's allocator does with large blocks that are given back.
///
/// While a model is loaded, blocks of many sizes come and go among those that stay; kept for later use, what is free
/// between them was a third of the process's memory. While it serves, blocks of the same sizes come again with each pass, and
/// asking the system for them each time would cost more than the pass.
enum LargeBlocks {
    /// Runs `body`, during which they go back to the system at once; what is free then goes back too.
    static func goBack<Result>(during body: () throws -> Result) rethrows -> Result {
        setThreshold(1 << 20)
        defer {
            setThreshold(32 << 20)
            trim()
        }
        return try body()
    }

    /// Asks the system for large pages under what is read from end to end: tables of small ones cost a part of that.
    /// Pages that lie only in part in the memory stay small, so that nothing is taken that is not used.
    static func useLargePages(_ bytes: UnsafeMutableRawBufferPointer) {
        #if os(Linux)
            guard let base = bytes.baseAddress else { return }
            let page = 2 << 20
            let begin = (Int(bitPattern: base) + page - 1) / page * page
            let end = (Int(bitPattern: base) + bytes.count) / page * page
            if begin < end { madvise(UnsafeMutableRawPointer(bitPattern: begin), end - begin, Int32(MADV_HUGEPAGE)) }
        #endif
    }

    /// Blocks of so many bytes are mappings of their own. Allocators other than glibc's know nothing of it.
    private static func setThreshold(_ byteCount: Int32) {
        typealias Function = @convention(c) (Int32, Int32) -> Int32
        // glibc's M_MMAP_THRESHOLD.
        if let symbol = dlsym(nil, "mallopt") { _ = unsafeBitCast(symbol, to: Function.self)(-3, byteCount) }
    }

    private static func trim() {
        typealias Function = @convention(c) (Int) -> Int32
        if let symbol = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(symbol, to: Function.self)(0) }
    }
}
