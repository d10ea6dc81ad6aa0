import Foundation
import MartletWire
import Testing

/// Equality of objects ignores order, so these compare text.
@Test func aGenerationRequestKeepsTheOrderOfKeysOnTheWire() throws {
    let schema = try JSONParser.parse(#"{"type":"object","properties":{"zebra":{"type":"string"},"apple":{}}}"#)
    let message = try JSONParser.parse(#"{"role":"user","content":"hi"}"#)
    let request = GenerationRequest(
        prompt: .chat(messages: [message], tools: [schema]), form: .tools([.init(name: "f", parameters: schema)]),
        tenant: "t", owner: "o")
    let decoded = try JSONDecoder.wire.decode(GenerationRequest.self, from: JSONEncoder.wire.encode(request))
    #expect(decoded == request)
    guard case .chat(let messages, let tools) = decoded.prompt, case .tools(let calls) = decoded.form else {
        Issue.record("another prompt or form came back")
        return
    }
    #expect(messages[0].serialized() == message.serialized())
    #expect(tools[0].serialized() == schema.serialized())
    #expect(calls[0].parameters.serialized() == schema.serialized())
    let form = GenerationRequest.Form.jsonSchema(schema)
    let again = try JSONDecoder.wire.decode(GenerationRequest.Form.self, from: JSONEncoder.wire.encode(form))
    guard case .jsonSchema(let back) = again else {
        Issue.record("another form came back")
        return
    }
    #expect(back.serialized() == schema.serialized())
}
