import Foundation
import Logging
import MartletStore
import MartletWire

extension Platform {
    /// The composition root: takes HOME for this process, opens what is in it and wires the services together.
    ///
    /// Makes HOME, its admin key and the project `default` at the first start. Throws `conflict` with the owner's
    /// process id and URL where another process has HOME.
    public static func build(
        home: String, configuration: Configuration, logger: Logger, clock: PlatformClock = .system
    ) async throws -> Platform {
        throw MartletError(.unavailable, "soon")
    }
}

/// Who has a HOME, from its lock file: how the command line finds a running `serve`.
public struct HomeOwner: Codable, Sendable, Equatable {
    public var pid: Int32
    /// Empty until it listens.
    public var url: String

    /// The live owner of HOME; nil where there is none.
    public static func current(home: String) -> HomeOwner? { nil }
}
