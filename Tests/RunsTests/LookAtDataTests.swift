import Foundation
import MMoEData
import MMoEFiles
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// `mmoe data inspect` and `mmoe data preview`, in this process.
@Suite struct LookAtDataTests {
  let scratch = ScratchFolder()
  let output = TextBuffer()
  let errors = TextBuffer()

  private var sinks: CommandSinks { CommandSinks(output: output, errors: errors) }

  private func inspect(_ data: String, _ change: (inout InspectSession.Options) -> Void = { _ in }) throws {
    var options = InspectSession.Options()
    options.data = data
    change(&options)
    try InspectSession(options, sinks).run()
  }

  private func refusal(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return "done"
  }

  private func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
    let path = scratch(name)
    try FileManager.default.createDirectory(atPath: FilePath.folder(of: path), withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  /// Each kind of data is told by its files, and divided by the share that training has.
  @Test func kindsAreTold() throws {
    #expect(try InspectSession.kind(of: TinyRun.data.path) == .images)
    #expect(try InspectSession.kind(of: TinyTextRun.data.path) == .text)
    #expect(try InspectSession.kind(of: scratch("nothing")) == .images)
    try write("photos.zip", "PK\u{3}\u{4}".utf8)
    #expect(refusal { try inspect(scratch("photos.zip")) }.contains("a zip archive, not a folder"))
    try inspect(TinyTextRun.data.path) {
      ($0.settings, $0.printsJSON) = (["data.validation_share=0.5"], true)
    }
    let found = try #require(PredictedRun.fields(output).first)
    let parts = try #require(found["parts"] as? [[String: Any]]).compactMap { $0["documents"] as? Int }
    #expect(parts.reduce(0, +) == 40 && parts[1] > 10)
    #expect((found["division"] as? String)?.contains("data.validation_share 0.5") == true)
    #expect(
      refusal { try inspect(TinyRun.data.path) { $0.settings = ["train.steps=5"] } }.contains(
        "`mmoe data inspect` does not use it"))
    #expect(refusal { try inspect(TinyRun.data.path) { $0.settings = ["text.field=a"] } }.contains("does not use it"))
  }

  /// The sheet is drawn although something is wrong with the data, which is said last.
  @Test func sheetAndStatus() throws {
    let image = RGBImage(width: 2, height: 2, pixels: Array(repeating: 9, count: 12))
    for name in ["train/ö b/1.png", "val/ö b/1.png", "train/c/1.png", "val/c/1.png"] { try write(name, image.png()) }
    try write("train/c/2.bmp", "BM".utf8)
    let said = refusal { try inspect(scratch.path) { $0.sheet = scratch("sheet.png") } }
    #expect(said.hasPrefix("\(scratch.path)/train/c/2.bmp: a .bmp file, expected PNG, JPEG or WebP; convert it"))
    #expect(output.text.contains("2 classes, 2 train and 2 val images"))
    #expect(output.text.hasSuffix("\(scratch("sheet.png")): a row for each of 2 classes\n"))
    #expect(try RGBImage(contentsOf: scratch("sheet.png")).width == 10 * 152 + 8)
    // One class is what training refuses.
    let alone = ScratchFolder()
    for part in ["train", "val"] {
      try FileManager.default.createDirectory(atPath: alone(part), withIntermediateDirectories: false)
      try FileManager.default.copyItem(atPath: scratch("val/c"), toPath: alone("\(part)/c"))
    }
    #expect(refusal { try inspect(alone.path) }.contains("one class (c), expected at least two"))
  }

  /// A sheet replaces no image, and texts have none.
  @Test func sheetIsRefused() throws {
    let image = try #require(try ImageFolder(path: TinyRun.data.path)[.val].images.first?.path)
    let before = try Data(contentsOf: URL(fileURLWithPath: image))
    #expect(refusal { try inspect(TinyRun.data.path) { $0.sheet = image } }.contains("is one of the images"))
    #expect(refusal { try preview { ($0.data, $0.out) = (TinyRun.data.path, image) } }.contains("is one of the images"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: image)) == before)
    #expect(
      refusal { try inspect(TinyTextRun.data.path) { $0.sheet = scratch("s.png") } }.contains("which has no pictures"))
    #expect(!FileManager.default.fileExists(atPath: scratch("s.png")))
  }

  // MARK: Preview

  private func preview(_ change: (inout PreviewSession.Options) -> Void) throws {
    var options = PreviewSession.Options()
    (options.out, options.count, options.draws) = (scratch("preview.png"), 2, 2)
    change(&options)
    try PreviewSession(options, sinks).run()
  }

  /// The picture at a place of the sheet, by one pixel in four.
  private func cells(_ file: String) throws -> [[UInt8]] {
    let (sheet, side) = (try RGBImage(contentsOf: file), ContactSheet.labeledSide)
    let step = (sheet.height - 8) / 2
    return (0..<2).flatMap { row in
      (0..<3).map { column in
        stride(from: 0, to: side, by: 4).flatMap { y -> [UInt8] in
          let start = ((8 + row * step + y) * sheet.width + 8 + column * (side + 8)) * 3
          return Array(sheet.pixels[start..<start + side * 3])
        }
      }
    }
  }

  /// The command has the configuration and the seeds of a training with the same words.
  @Test func previewHasTheSettingsOfTraining() throws {
    func drawn(_ settings: String...) throws -> [[UInt8]] {
      try preview { ($0.preset, $0.data, $0.settings) = ("debug", TinyRun.data.path, settings) }
      return try cells(scratch("preview.png"))
    }
    let plain = try drawn("data.crop=none", "data.flip=false", "data.jitter=0")
    #expect(plain[0] == plain[1] && plain[0] == plain[2] && plain[3] == plain[5] && plain[0] != plain[3])
    let moved = try drawn("data.crop=padded", "data.crop_padding=4", "data.flip=false", "data.jitter=0")
    #expect(moved[0] == plain[0] && moved[0] != moved[1] && moved[1] != moved[2])
    #expect(
      output.text.contains(
        "as in training: seed=0, data.crop=padded, data.crop_padding=4, data.flip=false, data.jitter=0.0"))
    #expect(try drawn("seed=1", "data.crop=none", "data.flip=false", "data.jitter=0")[0] != plain[0])
    let overfit = try drawn("data.overfit=1", "data.crop=padded")
    #expect(overfit[0] == overfit[1] && output.text.contains("data.overfit=1, which trains without augmentation"))
    #expect(output.text.contains("preview.png: 2 rows: without augmentation, then as the first 2 epochs show it"))
  }

  @Test func previewIsRefused() throws {
    func said(_ change: (inout PreviewSession.Options) -> Void) -> String { refusal { try preview(change) } }
    #expect(
      said { ($0.task, $0.preset, $0.data) = ("lm", "gpt-toy", TinyTextRun.data.path) }.contains(
        "lm, whose samples do not vary"))
    #expect(
      said { ($0.preset, $0.data, $0.settings) = ("debug", TinyRun.data.path, ["text.field=a"]) }.contains(
        "does not use it"))
    #expect(said { ($0.task, $0.preset) = ("imagenet-subset", "gpt-toy") }.contains("model.kind is gpt"))
    #expect(
      said { $0.data = scratch("nothing") }.contains("no such file")
        || said { $0.data = scratch("nothing") }.contains("cannot be read"))
    #expect(said { ($0.preset, $0.data) = ("none-such", TinyRun.data.path) }.contains("none-such"))
    #expect(!FileManager.default.fileExists(atPath: scratch("preview.png")))
  }
}
