import MartletWire

/// `config.json` of a model made from a recipe's inputs and outputs: everything that fixes the shape of the network.
public struct NetworkConfig: Codable, Sendable, Equatable {
    public struct Input: Codable, Sendable, Equatable {
        public var name: String
        public var type: InputConfig.Kind
        /// One row's shape: [] for a number, [n] for a vector, [C, H, W] for an image, [T] for tokens.
        public var shape: [Int]
        /// category, text, sequence: how many different ids there are.
        public var categoryCount: Int
        public var encoder: EncoderConfig

        public init(
            name: String, type: InputConfig.Kind, shape: [Int], categoryCount: Int = 0, encoder: EncoderConfig? = nil
        ) {
            self.name = name
            self.type = type
            self.shape = shape
            self.categoryCount = categoryCount
            self.encoder = encoder ?? Self.usualEncoder(for: type)
        }

        private static func usualEncoder(for type: InputConfig.Kind) -> EncoderConfig {
            switch type {
            case .image:
                var encoder = EncoderConfig(type: .cnn)
                encoder.pool = [2]
                return encoder
            case .text: return EncoderConfig(type: .embedding)
            case .sequence: return EncoderConfig(type: .lstm)
            default: return EncoderConfig(type: .passthrough)
            }
        }
    }

    public struct Output: Codable, Sendable, Equatable {
        public var name: String
        public var type: OutputConfig.Kind
        /// Numbers in the result: classes, or the vector's length, or 1.
        public var size: Int
        public var activation: Activation

        public init(name: String, type: OutputConfig.Kind, size: Int, activation: Activation = .none) {
            self.name = name
            self.type = type
            self.size = size
            self.activation = activation
        }
    }

    public var architecture = "feature_network"
    public var inputs: [Input]
    public var outputs: [Output]
    public var combiner: CombinerConfig

    public init(inputs: [Input], outputs: [Output], combiner: CombinerConfig) {
        self.inputs = inputs
        self.outputs = outputs
        self.combiner = combiner
    }
}
