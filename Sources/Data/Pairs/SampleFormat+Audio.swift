import MMoETensor

extension SampleFormat {
  /// Recordings as `[1, bands, frames]` of `LogMel`. A longer one is cut, a shorter one padded with silence.
  ///
  /// In training a recording begins at a frame between 0 and 16 (in evaluation at 8), is up to 15 % faster or slower, and up
  /// to a sixteenth of the bands higher or lower; of every second one the bands above a random one are silent, as on a telephone.
  /// Two ranges of bands and two of frames are silent (SpecAugment, Park et al., arXiv 1904.08779).
  static let audio = SampleFormat(
    field: "audio", plural: "recordings", kinds: "WAV", allowsSeveral: true, reads: Recording.reads,
    decode: { path, shape in
      guard shape.count == 3, shape[0] == 1 else {
        throw DataError(field: "the shape of recordings", found: "\(shape)", expected: "[1, bands, frames]")
      }
      return LogMel(try Recording(contentsOf: path), bands: shape[1])
    },
    room: { shape in
      let frames = shape[2] - Int(LogMelView(bands: 1).onset)
      let seconds = Double(frames * LogMel.hop + LogMel.window) / Double(LogMel.rate)
      return ("\((100 * seconds).rounded(.down) / 100) s", { try Recording.isLonger($0, thanFrames: frames) })
    },
    writer: { shape, settings in
      { sample, random, output in
        guard let mel = sample as? LogMel else { preconditionFailure("a sample of another format") }
        let view = settings.varies ? LogMelView(of: mel, random: random) : LogMelView(bands: mel.bands)
        view.write(mel, frames: shape[2], into: output)
      }
    })
}

extension LogMel: DecodedSample {
  package var byteCount: Int { values.count * MemoryLayout<Float>.stride }
}

/// One draw of how a recording is shown.
struct LogMelView: Equatable {
  /// Where it begins, in frames.
  var onset: Float = 8
  /// Frames of the recording for each that is shown.
  var speed: Float = 1
  /// By how many bands it is higher.
  var pitch: Float = 0
  /// Bands from this one are silent.
  var limit: Int
  /// Other bands, and frames of what is shown, that are silent.
  var silentBands: [Range<Int>] = []
  var silentFrames: [Range<Int>] = []

  init(bands: Int) { limit = bands }

  init(of mel: LogMel, random: CounterRandom) {
    onset = Float(random.integer(0, below: 17))
    speed = random.uniform(1, 0.85, 1.15)
    pitch = random.uniform(2, -Float(mel.bands) / 16, Float(mel.bands) / 16)
    // No lower than what a telephone leaves, three quarters of the mel scale.
    let lowest = mel.bands * 3 / 4
    limit = random.uniform(3) < 0.5 ? lowest + random.integer(4, below: mel.bands - lowest + 1) : mel.bands
    /// Up to an eighth of what there is, anywhere in it; `index` and the next one are used.
    func range(of count: Int, _ index: UInt64) -> Range<Int> {
      let length = random.integer(index, below: count / 8 + 1)
      let start = random.integer(index + 1, below: count - length + 1)
      return start..<start + length
    }
    silentBands = [range(of: mel.bands, 5), range(of: mel.bands, 7)]
    silentFrames = [range(of: mel.frames, 9), range(of: mel.frames, 11)].map {
      $0.lowerBound + Int(onset)..<$0.upperBound + Int(onset)
    }
  }

  /// Writes `[bands, frames]`, between the values of the recording by linear interpolation.
  func write(_ mel: LogMel, frames: Int, into output: UnsafeMutablePointer<Float>) {
    let columns = (0..<frames).map { (Float($0) - onset) * speed }
    for band in 0..<mel.bands {
      let row = Float(band) - pitch
      let isSilent = band >= limit || silentBands.contains { $0.contains(band) }
      for (frame, column) in columns.enumerated() {
        output[band * frames + frame] = isSilent ? LogMel.silence : mel.value(row, column)
      }
      for frame in silentFrames.joined() where frame < frames { output[band * frames + frame] = LogMel.silence }
    }
  }
}

extension LogMel {
  /// The value at a place between bands and frames; silence outside.
  fileprivate func value(_ band: Float, _ frame: Float) -> Float {
    let (row, column) = (band.rounded(.down), frame.rounded(.down))
    func at(_ i: Int, _ j: Int) -> Float {
      (0..<bands).contains(i) && (0..<frames).contains(j) ? values[i * frames + j] : LogMel.silence
    }
    func between(_ i: Int) -> Float {
      let (left, part) = (at(i, Int(column)), frame - column)
      return part == 0 ? left : left + part * (at(i, Int(column) + 1) - left)
    }
    let (low, part) = (between(Int(row)), band - row)
    return part == 0 ? low : low + part * (between(Int(row) + 1) - low)
  }
}
