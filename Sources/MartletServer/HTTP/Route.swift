import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire

/// One thing that the server answers: a method, a path, who may ask, and what is done.
///
/// There is no default policy, so a route without one does not compile.
public struct Route: Sendable {
    /// Who may call a route.
    public enum Policy: Sendable, Equatable {
        /// Anyone, without a key.
        case everyone
        /// Any key that is valid.
        case anyKey
        /// Keys with one of these roles.
        case roles(Set<Role>)

        public static let admins = Policy.roles([.admin])
        public static let developers = Policy.roles([.admin, .developer])
        public static let inference = Policy.roles([.admin, .developer, .inference])
        public static let auditors = Policy.roles([.admin, .auditor])

        /// Whether a key with `role` may call.
        public func allows(_ role: Role) -> Bool {
            switch self {
            case .everyone, .anyKey: true
            case .roles(let roles): roles.contains(role)
            }
        }
    }

    /// How failures are written.
    public enum Dialect: Sendable {
        /// `{"error":{"message","type","param","code"}}`.
        case native
        /// The Open Inference Protocol's `{"error":"…"}`.
        case openInference
    }

    /// Throws what is answered instead.
    public typealias Admission = @Sendable (_ caller: Principal, _ body: UnsafeRawBufferPointer) throws -> Void
    public typealias Handler = @Sendable (Call) async throws -> Response

    public let method: HTTPRequest.Method
    /// Segments are literal, `{name}`, or at the end `{name…}` for the rest of the path.
    public let path: String
    public let policy: Policy
    /// One sentence for the API's description.
    public let summary: String
    /// Whether a success is worth a line in the log at the usual level.
    public let isLogged: Bool
    /// Whether small requests are answered on the connection's event loop: the handler computes nothing and waits for
    /// no disk.
    let isQuick: Bool
    /// Refuses what there is no room for by the body as it came, before it is read further.
    let admission: Admission?
    let handler: Handler

    public init(
        _ method: HTTPRequest.Method, _ path: String, _ policy: Policy, _ summary: String, isLogged: Bool = true,
        isQuick: Bool = false, admission: Admission? = nil, _ handler: @escaping Handler
    ) {
        self.method = method
        self.path = path
        self.policy = policy
        self.summary = summary
        self.isLogged = isLogged
        self.isQuick = isQuick
        self.admission = admission
        self.handler = handler
    }

    public var dialect: Dialect { path == "/v2" || path.hasPrefix("/v2/") ? .openInference : .native }
}
