import MMoEData

/// The preset of a run that names none, chosen by its data.
public struct PresetChoice: Sendable, Equatable {
  public let preset: String
  /// What is set beyond it, as `--set` does, before what the user sets.
  public let settings: [String]
  /// One line: what was chosen and why.
  public let reason: String

  public init(preset: String, settings: [String] = [], reason: String) {
    (self.preset, self.settings, self.reason) = (preset, settings, reason)
  }

  /// By the size of the images, and by whether they have colors: what has none is often writing, which is not mirrored.
  ///
  /// - Throws: `DataError` for a folder that cannot be read.
  static func images(_ path: String) throws -> PresetChoice? {
    guard let sample = try ImageSample(of: path) else { return nil }
    let (preset, side) =
      switch sample.shorterSide {
      case ..<48: ("vit-cifar", 32)
      case ..<80: ("vit-photos-64", 64)
      case ..<112: ("vit-photos-96", 96)
      default: ("vit-photos-128", 128)
      }
    let augmentation =
      sample.isGrey
      ? "moved by a few pixels, not mirrored, since they are grey as scans of writing are (data.flip=true mirrors them)"
      : "moved, mirrored and varied in color (data.crop, data.flip, data.jitter)"
    return PresetChoice(
      preset: preset, settings: sample.isGrey ? ["data.flip=false", "data.jitter=0.1", "data.crop_padding=2"] : [],
      reason:
        "preset \(preset): the images' shorter side is \(sample.shorterSide) pixels (median of \(sample.count)), the input \(side) x \(side); in training they are \(augmentation); --preset chooses another (mmoe presets)"
    )
  }
}
