import Foundation
import Glibc
import MartletStore
import MartletWire

/// Who has a HOME, from its lock file: how the command line finds a running `serve`.
public struct HomeOwner: Codable, Sendable, Equatable {
    public var pid: Int32
    /// Empty until it listens.
    public var url: String

    public init(pid: Int32, url: String) {
        self.pid = pid
        self.url = url
    }

    /// The live owner of HOME; nil where there is none.
    public static func current(home: String) -> HomeOwner? {
        let descriptor = open(home + "/martlet.lock", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // Who can lock it finds no owner; the lock goes with the descriptor.
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
        return read(descriptor) ?? HomeOwner(pid: 0, url: "")
    }

    fileprivate static func read(_ descriptor: Int32) -> HomeOwner? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return try? JSONDecoder.wire.decode(HomeOwner.self, from: Data(bytes[..<count]))
    }
}

/// The lock that makes this process the only owner of a HOME; it goes with the process, however that ends.
final class HomeLock: Sendable {
    private let descriptor: Int32

    /// Throws `conflict` that names the owner.
    init(home: String) throws {
        descriptor = open(home + "/martlet.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw DurableFile.error(errno, doing: "opening the lock of MARTLET_HOME") }
        // Someone who asks for the owner holds a shared lock for a moment.
        for attempt in 0..<10 {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                try announce(url: "")
                return
            }
            if attempt < 9 { usleep(30_000) }
        }
        let owner = HomeOwner.read(descriptor)
        let place = owner.map {
            $0.url.isEmpty ? "process \($0.pid), still starting" : "process \($0.pid) at \($0.url)"
        }
        throw MartletError(
            .conflict,
            "this home is in use by another martlet serve (\(place ?? "unknown")); use that one, end it with "
                + "'martlet stop', or choose another --home")
    }

    deinit { close(descriptor) }

    /// Gives HOME to whoever comes next; the URL goes first, so that nobody dials it.
    func release() {
        ftruncate(descriptor, 0)
        flock(descriptor, LOCK_UN)
    }

    /// In place: another file of the same name would not be locked.
    func announce(url: String) throws {
        let bytes = [UInt8](try JSONEncoder.wire.encode(HomeOwner(pid: getpid(), url: url)))
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count else {
            throw DurableFile.error(errno, doing: "writing the lock of MARTLET_HOME")
        }
    }
}
