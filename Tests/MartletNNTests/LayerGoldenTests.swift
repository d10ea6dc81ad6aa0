import MartletNN
import MartletTensor
import MartletWire
import Testing

@Suite struct LayerGoldenTests {
    @Test(arguments: Precision.all)
    func layersGivePyTorchsValuesAndGradients(_ precision: Precision) throws {
        let golden = try Golden("layers")
        let layers: [(String, any Layer)] = try [
            ("linear", Linear(5, 4)), ("linear_no_bias", Linear(5, 4, bias: false)),
            ("conv1d", Conv1d(3, 4, kernel: 3, stride: 2, padding: 1, dilation: 2)),
            ("conv2d", Conv2d(4, 6, kernel: 3, stride: 2, padding: 1, groups: 2)),
            ("conv2d_plain", Conv2d(1, 3, kernel: 3, bias: false)),
            ("max_pool2d", MaxPool2d(3, stride: 2, padding: 1)),
            ("batch_norm1d", BatchNorm1d(4)), ("batch_norm2d", BatchNorm2d(3)),
            ("batch_norm_inference", BatchNorm2d(3)),
            ("layer_norm", LayerNorm(6)), ("layer_norm_no_bias", LayerNorm(6, bias: false)),
            ("group_norm", GroupNorm(2, 6)), ("rms_norm", RMSNorm(6)), ("embedding", Embedding(7, 4, padding: 2)),
            ("sequential", Sequential([Linear(4, 3), ActivationLayer(.relu), Linear(3, 2)])),
        ]
        let activations = Activation.allCases.map { ("activation_\($0.rawValue)", ActivationLayer($0) as any Layer) }
        let all = layers + activations
        #expect(Set(all.map(\.0)) == golden.caseNames)
        for (name, layer) in all {
            try golden.check(name, precision, module: layer, training: name != "batch_norm_inference") {
                try layer($0[0], $1)
            }
        }
    }

    @Test(arguments: Precision.all)
    func recurrentLayersGivePyTorchsValuesAndGradients(_ precision: Precision) throws {
        let golden = try Golden("recurrent")
        let plain: [(String, any Layer)] = try [
            ("rnn_tanh", RNN(4, 3)), ("rnn_relu", RNN(4, 3, nonlinearity: .relu)),
            ("rnn_stacked", RNN(4, 3, layers: 2, bidirectional: true)),
            ("lstm_stacked", LSTM(4, 3, layers: 2, bidirectional: true)),
            ("gru_stacked", GRU(4, 3, layers: 2, bidirectional: true)),
        ]
        for (name, layer) in plain {
            try golden.check(name, precision, module: layer) { try layer($0[0], $1) }
        }
        let stated: [(String, Recurrent)] = try [("lstm_state", LSTM(4, 3, layers: 2)), ("gru_state", GRU(4, 3))]
        for (name, layer) in stated {
            try golden.check(name, precision, module: layer) { inputs, forward in
                let state = Recurrent.State(hidden: inputs[1], memory: inputs.count > 2 ? inputs[2] : nil)
                let (output, end) = try layer(inputs[0], state: state, forward)
                return try Tensor.cat(
                    [output.reshape([-1]), end.hidden.reshape([-1])] + [end.memory].compactMap { try $0?.reshape([-1]) }
                )
            }
        }
        let uneven: [(String, Recurrent)] = try [
            ("lstm_lengths", LSTM(4, 3, bidirectional: true)), ("gru_lengths", GRU(4, 3, layers: 2)),
            ("rnn_lengths", RNN(4, 3)),
        ]
        for (name, layer) in uneven {
            try golden.check(name, precision, module: layer) { inputs, forward in
                let (output, end) = try layer(inputs[0], state: nil, lengths: [2, 5, 3], forward)
                return try Tensor.cat([output.reshape([-1]), end.hidden.reshape([-1])])
            }
        }
        #expect(Set((plain.map(\.0) + stated.map(\.0) + uneven.map(\.0))) == golden.caseNames)
    }
}
