import MartletPlatform

/// What one request may be at most; the configuration's part that the listener needs.
public struct ServerLimits: Sendable, Equatable {
    /// The most bytes of a body, also after inflating.
    public var bodyBytes: Int
    /// The most bytes of one uploaded file, which is streamed to disk.
    public var uploadBytes: Int
    /// The most parts in which a body may come.
    public var chunkCount = 65_536
    /// The deepest nesting of a JSON document.
    public var jsonDepth: Int
    /// The most values of a JSON document.
    public var jsonValues = 1_000_000
    public var headerCount: Int
    /// The most bytes of all headers together.
    public var headerBytes: Int
    /// Seconds from a connection's or request's first byte to the end of its headers.
    public var headerSeconds: Int
    /// The fewest bytes a second that a body may come at, averaged over five seconds.
    public var bodyBytesPerSecond: Int
    /// Seconds that an unused connection stays open.
    public var idleSeconds = 75
    /// Seconds in which a client must take some of the answer that lies ready for it.
    public var stallSeconds = 75
    public var connectionCount: Int

    public init(_ configuration: Configuration = Configuration()) {
        bodyBytes = configuration.bodyLimitBytes
        uploadBytes = configuration.uploadLimitBytes
        jsonDepth = configuration.jsonDepthLimit
        headerCount = configuration.headerCountLimit
        headerBytes = configuration.headerLimitBytes
        headerSeconds = configuration.headerTimeoutSeconds
        bodyBytesPerSecond = configuration.minBodyBytesPerSecond
        connectionCount = configuration.maxConnections
    }

    /// What boundaries, headers and fields of a form may take beside its file.
    static let formBytes = 1 << 20

    /// The most bytes of a body that brings a file, with `extraBytes` around it.
    func uploadLimit(_ extraBytes: Int) -> Int {
        let (sum, isTooMuch) = uploadBytes.addingReportingOverflow(extraBytes)
        return isTooMuch ? .max : sum
    }

    /// Whether no route takes a body of that length.
    func refusesAny(byteCount: Int) -> Bool { byteCount > max(bodyBytes, uploadLimit(Self.formBytes)) }
}
