import Foundation

enum LargePages {
    /// Asks the system for large pages under what is read from end to end: tables of small ones cost a part of that.
    /// Pages that lie only in part in the memory stay small, so that nothing is taken that is not used.
    static func use(_ bytes: UnsafeMutableRawBufferPointer) {
        #if os(Linux)
            guard let base = bytes.baseAddress else { return }
            let page = 2 << 20
            let begin = (Int(bitPattern: base) + page - 1) / page * page
            let end = (Int(bitPattern: base) + bytes.count) / page * page
            if begin < end { madvise(UnsafeMutableRawPointer(bitPattern: begin), end - begin, Int32(MADV_HUGEPAGE)) }
        #endif
    }
}
