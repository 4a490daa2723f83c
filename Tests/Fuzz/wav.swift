/// Whatever a WAV file holds, it is refused in one line, or every sample is a number and the recording has a length.
func fuzzWAV(_ input: UnsafeBufferPointer<UInt8>) {
  mayRefuse {
    let recording = try Recording(decoding: Array(input), name: "a.wav")
    precondition(!recording.samples.isEmpty && recording.samples.allSatisfy(\.isFinite))
    precondition(recording.samples.count <= 8 * input.count && recording.seconds <= 300)
    // The spectrogram of a part is enough: it grows with the samples.
    let part = Recording(rate: recording.rate, samples: Array(recording.samples.prefix(2000)))
    precondition(LogMel(part, bands: 8).values.allSatisfy { $0 >= -1 && $0 <= 1 })
  }
}
