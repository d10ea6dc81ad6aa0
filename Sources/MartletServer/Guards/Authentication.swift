import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire

/// From `Authorization: Bearer KEY` to who asks.
struct Authentication: Sendable {
    static let missing = MartletError(
        .unauthenticated, "no API key; send it as 'Authorization: Bearer KEY' (martlet keys create makes one)")
    private static let invalid = MartletError(
        .unauthenticated, "the Authorization header is not 'Bearer KEY'; mend it")

    let keys: KeyService

    /// Throws `unauthenticated`, with the same words for unknown, revoked and expired keys.
    func identify(_ request: Request) async throws -> Principal {
        try await keys.authenticate(Self.secret(in: request.headers))
    }

    /// Who asks, where that is known without a look at the disk.
    func remembered(_ headers: HTTPFields) -> Principal? {
        (try? Self.secret(in: headers)).flatMap(keys.remembered)
    }

    static func secret(in headers: HTTPFields) throws -> String {
        guard let header = headers[.authorization] else { throw missing }
        let scheme = "bearer "
        guard header.count > scheme.count, header.count <= 512, header.prefix(scheme.count).lowercased() == scheme
        else {
            throw invalid
        }
        return String(header.dropFirst(scheme.count))
    }
}
