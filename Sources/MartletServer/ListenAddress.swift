import Foundation
import HummingbirdTLS
import MartletPlatform
import MartletWire
import NIOCore
import NIOSSL

/// Where the server listens, and with which certificate.
package struct ListenAddress: Sendable {
    let host: String
    let port: Int
    let tls: TLSConfiguration?
    /// Names that clients may call this server by.
    let names: [String]

    /// Throws `usage` for an address that is not one, one beyond loopback without TLS, and an unreadable certificate.
    package init(_ configuration: Configuration) throws {
        (host, port) = try Self.parse(configuration.listen)
        guard HostCheck.isLoopback(host) || !configuration.tlsCertificate.isEmpty else {
            throw MartletError(
                .usage,
                "refusing to listen on \(host), beyond this machine, without TLS; give --tls-cert and --tls-key",
                param: "listen")
        }
        names = [ProcessInfo.processInfo.hostName, host] + configuration.otherHostNames
        guard !configuration.tlsCertificate.isEmpty else {
            tls = nil
            return
        }
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(configuration.tlsCertificate)
            let key = try NIOSSLPrivateKey(file: configuration.tlsKey, format: .pem)
            var tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
            tls.minimumTLSVersion = .tlsv12
            self.tls = tls
        } catch {
            throw MartletError(
                .usage,
                "the certificate '\(configuration.tlsCertificate)' and key '\(configuration.tlsKey)' cannot be read; "
                    + "give PEM files that belong together", param: "tls_certificate")
        }
    }

    /// `address:port`, `[v6]:port`, `:port` or a port alone.
    static func parse(_ text: String) throws -> (host: String, port: Int) {
        let separator = text.lastIndex(of: ":")
        var host = separator.map { String(text[..<$0]) } ?? ""
        let digits = separator.map { text[text.index(after: $0)...] } ?? text[...]
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard let port = UInt16(digits) else {
            throw MartletError(.usage, "'\(text)' is not an address; write it as 127.0.0.1:8080", param: "listen")
        }
        return (host.isEmpty ? "127.0.0.1" : host, Int(port))
    }

    package func url(port: Int) -> String {
        let shown = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host
        return "\(tls == nil ? "http" : "https")://\(shown.contains(":") ? "[\(shown)]" : shown):\(port)"
    }

    /// Why listening failed, in words.
    func bindFailure(_ error: any Error) -> MartletError {
        if let error = error as? IOError, error.errnoCode == EADDRINUSE {
            return MartletError(
                .unavailable,
                "port \(port) of \(host) is in use by another program; choose another with --listen \(host):PORT")
        }
        if let error = error as? IOError, error.errnoCode == EACCES {
            return MartletError(.forbidden, "port \(port) needs rights that you lack; choose one above 1023")
        }
        return MartletError(.unavailable, "\(host):\(port) cannot be listened on; check the address")
    }
}
