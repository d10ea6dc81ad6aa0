import Foundation

/// What this process takes.
public enum ProcessMemory {
    /// What this process holds in memory now; 0 where the system does not tell.
    public static var residentBytes: Int {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return 0 }
        return pages * Int(getpagesize())
    }
}
