import Foundation
import Glibc
import MartletWire

/// Which hosts the server may call, and which addresses they may have. By default there are none.
package struct OutboundPolicy: Sendable, Equatable {
    private var exact: Set<String> = []
    /// `.example.com` of `*.example.com`.
    private var suffixes: [String] = []

    /// `hosts`: names or addresses with commas between them; `*.example.com` stands for what is below it.
    package init(hosts: String) {
        for entry in hosts.split(separator: ",") {
            let host = entry.trimmingCharacters(in: .whitespaces).lowercased()
            if host.hasPrefix("*.") { suffixes.append(String(host.dropFirst())) } else { exact.insert(host) }
        }
    }

    /// A place that may be called.
    package struct Target: Sendable, Equatable {
        package var url: String
        package var host: String
        /// The operator named this very host, so its address may be a private one.
        package var mayBePrivate: Bool
    }

    /// Throws `forbidden` for what may not be called.
    package func check(_ text: String) throws -> Target {
        func refused(_ what: String) -> MartletError { MartletError(.forbidden, "'\(text.prefix(200))' \(what)") }
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            var host = parts.host?.lowercased(), !host.isEmpty, parts.user == nil, parts.password == nil,
            parts.fragment == nil
        else { throw refused("is no plain URL; write https://host/path") }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        let isNamed = exact.contains(host)
        guard isNamed || suffixes.contains(where: { host.hasSuffix($0) && host.count > $0.count }) else {
            throw refused("has a host that outbound_hosts does not list; add '\(host)' there")
        }
        let isLoopback = isNamed && ["localhost", "127.0.0.1", "::1"].contains(host)
        guard scheme == "https" || (scheme == "http" && isLoopback) else { throw refused("must use https") }
        return Target(url: text, host: host, mayBePrivate: isNamed)
    }

    /// The addresses of a host, looked up now. Blocks its thread.
    package static func addresses(of host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &first) == 0 else { return [] }
        defer { freeaddrinfo(first) }
        var found: [String] = []
        var next = first
        while let entry = next {
            var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
                == 0
            {
                let length = name.firstIndex(of: 0) ?? name.endIndex
                found.append(String(decoding: name[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = entry.pointee.ai_next
        }
        return found
    }

    /// Whether an address is one of the public network (RFC 6890 and its registries).
    package static func isPublic(_ address: String) -> Bool {
        var four = in_addr()
        if inet_pton(AF_INET, address, &four) == 1 {
            return isPublic(four: withUnsafeBytes(of: &four) { Array($0) })
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, address, &six) == 1 else { return false }
        let bytes = withUnsafeBytes(of: &six) { Array($0) }
        let head = bytes[..<12]
        // An address of version 4 in one of version 6: as it is, mapped, or behind NAT64.
        if head.dropLast(2).allSatisfy({ $0 == 0 }), [[0, 0], [0xFF, 0xFF]].contains(Array(head.suffix(2))) {
            return head.last == 0xFF && isPublic(four: Array(bytes[12...]))
        }
        if Array(bytes[..<4]) == [0, 0x64, 0xFF, 0x9B] { return isPublic(four: Array(bytes[12...])) }
        if bytes[0] == 0x20, bytes[1] == 0x02 { return isPublic(four: Array(bytes[2..<6])) }
        guard bytes[0] & 0xE0 == 0x20 else { return false }
        let isSpecial =
            bytes[0] == 0x20 && bytes[1] == 0x01 && (bytes[2] < 0x02 || (bytes[2] == 0x0D && bytes[3] == 0xB8))
        return !isSpecial
    }

    private static func isPublic(four bytes: [UInt8]) -> Bool {
        switch (bytes[0], bytes[1], bytes[2]) {
        case (0, _, _), (10, _, _), (127, _, _), (169, 254, _), (192, 168, _), (224..., _, _): false
        case (100, 64...127, _), (172, 16...31, _), (198, 18...19, _): false
        case (192, 0, 0), (192, 0, 2), (192, 88, 99), (198, 51, 100), (203, 0, 113): false
        default: true
        }
    }
}
