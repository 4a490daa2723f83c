import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import TestSupport
import Testing

@testable import MMoEReport
@testable import MMoETrain

/// What a run on images is trained with when it names no preset.
@Suite struct PresetChoiceTests {
  private let scratch = ScratchFolder()

  /// A folder of three images of a side, grey or not, and its choice.
  private func choice(_ side: Int, isGrey: Bool) throws -> PresetChoice? {
    let folder = scratch("\(side)\(isGrey)")
    for number in 0..<3 {
      let color: [UInt8] = isGrey ? [90, 90, 90] : [90, UInt8(10 * number), 30]
      let pixels = (0..<side * (side + number)).flatMap { _ in color }
      let image = RGBImage(width: side + number, height: side, pixels: pixels)
      let file = "\(folder)/a/\(number).png"
      try makeFolder(FilePath.folder(of: file))
      try DurableFile.write(image.png(), to: file)
    }
    return try TaskKind.imagenetSubset.choosePreset(for: folder)
  }

  @Test(arguments: [
    (28, true, "vit-grey", 28), (32, false, "vit-cifar", 32), (64, false, "vit-photos-64", 64),
    (96, false, "vit-photos-96", 96), (130, false, "vit-photos-128", 128), (100, true, "vit-photos-96", 96),
  ]) func bySizeAndColor(side: Int, isGrey: Bool, preset: String, input: Int) throws {
    let choice = try #require(try choice(side, isGrey: isGrey))
    #expect(choice.preset == preset)
    #expect(choice.reason.hasPrefix("preset \(preset): the images' shorter side is \(side) pixels (median of 3)"))
    #expect(
      choice.reason.contains("the input is \(input) x \(input)") && choice.reason.contains("--preset chooses another"))
    #expect(choice.settings.contains("data.flip=false") == (isGrey && side >= 48))
    // The preset is there, holds for images, and is what the line says.
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    try RunConfig.table.set(choice.settings, in: &config)
    try config.validate()
    #expect(config.model.kind == .vit && config.model.vision.image == input)
    #expect(choice.reason.contains("mirrored and varied") == (config.data.augmentation.flip > 0))
  }

  @Test func whatHasNoImages() throws {
    try makeFolder(scratch("empty"))
    #expect(try TaskKind.imagenetSubset.choosePreset(for: scratch("empty")) == nil)
    #expect(try TaskKind.lm.choosePreset(for: scratch("empty")) == nil)
  }

  /// A name means its set, unless there is a folder of that name.
  @Test func namedSets() throws {
    #expect(try NamedImages.path("some/folder", sink: TextBuffer()) == "some/folder")
    #expect(try NamedImages.path("-", sink: TextBuffer()) == "-")
    #expect(NamedImages.table.map(\.name) == ["fashion-mnist"])
  }

  private func makeFolder(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
}
