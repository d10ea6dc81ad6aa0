import MartletWire

extension Tokenizer {
    /// The special tokens' texts by the names under which chat templates write them: `bos_token`, `eos_token`, ….
    public var templateVariables: [String: JSON] {
        var variables: [String: JSON] = [:]
        for (name, token) in [
            ("bos_token", beginToken), ("eos_token", endToken), ("pad_token", padToken), ("unk_token", unknownToken),
        ] {
            if let token, let text = self.token(of: token) { variables[name] = .string(text) }
        }
        return variables
    }
}
