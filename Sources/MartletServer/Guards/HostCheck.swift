import Foundation
import MartletWire

/// Refuses requests that a foreign page made in a browser: DNS rebinding needs a name of the attacker's in `Host`,
/// and a page of another site sends its own `Origin`.
public struct HostCheck: Sendable {
    /// Names that this server is known by, in lower case, without ports.
    private let names: Set<String>
    /// Whole `Host` values seen most, answered without parsing.
    private let usual: Set<String>

    /// Behind TLS a name is checked by the certificate already, which a rebound name does not have.
    private let takesAnyName: Bool

    /// Pages of these may call all the same.
    let crossOrigin: CrossOrigin

    /// - Parameter origins: what `cors_origins` lists.
    public init(names: [String], port: Int, takesAnyName: Bool = false, origins: [String] = []) {
        self.takesAnyName = takesAnyName
        crossOrigin = CrossOrigin(origins)
        self.names = Set(names.map { $0.lowercased() } + ["localhost"])
        usual = ["127.0.0.1:\(port)", "localhost:\(port)", "127.0.0.1", "localhost"]
    }

    /// Throws `forbidden` where `host` is a name that is not ours or `origin` is another site.
    public func check(host: String?, origin: String?) throws {
        if let host, !takesAnyName, !usual.contains(host) {
            guard allows(host) else {
                throw MartletError(
                    .forbidden,
                    "the host '\(host.prefix(80))' is not a name of this server; use its address or localhost, or list the "
                        + "name in host_names")
            }
        }
        guard let origin, !crossOrigin.allows(origin) else { return }
        guard let separator = origin.range(of: "://"), ["http", "https"].contains(origin[..<separator.lowerBound]),
            let host, origin[separator.upperBound...].lowercased() == host.lowercased()
        else {
            throw MartletError(
                .forbidden,
                "requests from pages of '\(origin.prefix(80))' are not taken here; list the origin in cors_origins")
        }
    }

    /// An address is always ours (rebinding needs a name); a name must be known.
    private func allows(_ host: String) -> Bool {
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return false }
            return Self.isPort(host[host.index(after: end)...])
                && Self.isAddress(String(host[host.index(after: host.startIndex)..<end]), family: AF_INET6)
        }
        let end = host.firstIndex(of: ":") ?? host.endIndex
        guard Self.isPort(host[end...]) else { return false }
        let name = host[..<end].lowercased()
        return names.contains(name) || Self.isAddress(name, family: AF_INET)
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty || (text.first == ":" && UInt16(text.dropFirst()) != nil)
    }

    static func isAddress(_ text: String, family: Int32) -> Bool {
        var storage = in6_addr()
        return inet_pton(family, text, &storage) == 1
    }

    /// Whether listening on `host` stays on this machine.
    public static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || (host.hasPrefix("127.") && isAddress(host, family: AF_INET))
    }
}
