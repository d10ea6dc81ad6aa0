import MartletWire
import NIOCore

/// Sees a connection's raw bytes, and closes it when headers take too long, a body trickles or an answer is not taken.
///
/// It stands first in the pipeline (behind TLS); `MessageGuard`, behind the decoder, tells it where messages begin
/// and end. Both live on the connection's event loop.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        /// Between requests.
        case idle
        /// From the first byte to the end of the headers.
        case head(since: NIODeadline)
        /// Bytes since the last look at the rate.
        case body(byteCount: Int, since: NIODeadline)
        /// The whole request is here.
        case answering
    }

    private static let rateWindow = TimeAmount.seconds(5)
    private var phase: Phase
    /// Whether we asked for bytes: a slow reader on our side is not the client's fault.
    private var isReading = false
    private var hasWaited = true
    /// Bytes of answers that lie ready, and since when there are as many.
    private var untaken: (byteCount: Int, since: NIODeadline)?
    private var timer: Scheduled<Void>?
    private let limits: ServerLimits
    private let departure: Departure

    init(limits: ServerLimits, departure: Departure) {
        self.limits = limits
        self.departure = departure
        phase = .head(since: .now())
    }

    /// A client that closed its end does not wait for its answer.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { departure.happened() }
        context.fireUserInboundEventTriggered(event)
    }

    func handlerAdded(context: ChannelHandlerContext) { schedule(context) }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        departure.happened()
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        isReading = true
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = false
        switch phase {
        case .idle: phase = .head(since: .now())
        case .body(let count, let since):
            phase = .body(byteCount: count + unwrapInboundIn(data).readableBytes, since: since)
        case .head, .answering: break
        }
        context.fireChannelRead(data)
    }

    func headEnded() {
        phase = .body(byteCount: 0, since: .now())
        hasWaited = true
    }
    func requestEnded() { phase = .answering }
    func answerEnded() { if case .answering = phase { phase = .idle } }

    private func schedule(_ context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { self.look(context) }
    }

    private func look(_ context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        switch phase {
        case .idle, .answering: break
        case .head(let since):
            if now - since >= .seconds(Int64(limits.headerSeconds)) { return context.close(promise: nil) }
        case .body(let count, let since):
            hasWaited = hasWaited && isReading
            if now - since >= Self.rateWindow {
                if hasWaited, count < limits.bodyBytesPerSecond * 5 { return context.close(promise: nil) }
                phase = .body(byteCount: 0, since: now)
                hasWaited = true
            }
        }
        if isStalled(context, now) { return context.close(promise: nil) }
        schedule(context)
    }

    /// Whether the client has long taken nothing of what lies ready for it.
    private func isStalled(_ context: ChannelHandlerContext, _ now: NIODeadline) -> Bool {
        let byteCount = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        guard byteCount > 0 else {
            untaken = nil
            return false
        }
        guard let untaken, untaken.byteCount == byteCount else {
            untaken = (byteCount, now)
            return false
        }
        return now - untaken.since >= .seconds(Int64(limits.stallSeconds))
    }
}
