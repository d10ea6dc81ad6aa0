import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Answers requests that there is no room for on the spot, before a task hears of them.
///
/// It stands last in the pipeline and keeps a small request back until it is whole; what is not refused goes on as it
/// came.
final class EarlyRefusal: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundOut = HTTPResponsePart

    private let gateway: Gateway
    private var held: (candidate: Gateway.Candidate, head: HTTPRequest, body: ByteBuffer)?

    init(_ gateway: Gateway) { self.gateway = gateway }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard let candidate = gateway.candidate(head) else { return context.fireChannelRead(data) }
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
                context.fireChannelRead(wrapInboundOut(.head(held.head)))
                context.fireChannelRead(wrapInboundOut(.body(held.body)))
                context.fireChannelRead(data)
            }
        }
    }
}
