import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Answers requests that there is no room for on the spot, before a task hears of them.
///
/// It stands last in the pipeline and keeps a small request back until it is whole; what is not refused goes on as it
/// came. So does what a client sends before it has the answer to an earlier request, which no refusal may overtake.
final class EarlyRefusal: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let gateway: Gateway
    private var held: (candidate: Gateway.Candidate, head: HTTPRequest, body: ByteBuffer)?
    /// Requests that went on and are not answered.
    private var openRequests = 0

    init(_ gateway: Gateway) { self.gateway = gateway }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard openRequests == 0, let candidate = gateway.candidate(head) else {
                openRequests += 1
                return context.fireChannelRead(data)
            }
            held = (candidate, head, ByteBuffer())
        case .body(let chunk):
            // The decoder passes no more than was announced, and that is little.
            guard held?.body.writeImmutableBuffer(chunk) != nil else { return context.fireChannelRead(data) }
        case .end:
            guard let held else { return context.fireChannelRead(data) }
            self.held = nil
            if let refusal = gateway.refusal(of: held.candidate, body: held.body) {
                context.write(wrapOutboundOut(.head(refusal.head)), promise: nil)
                context.write(wrapOutboundOut(.body(refusal.body)), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            } else {
                openRequests += 1
                context.fireChannelRead(wrapInboundOut(.head(held.head)))
                context.fireChannelRead(wrapInboundOut(.body(held.body)))
                context.fireChannelRead(data)
            }
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { openRequests -= 1 }
        context.write(data, promise: promise)
    }
}
