import Foundation
import Testing

@testable import MMoEData

/// Willem van Schaik's PngSuite, the pictures that PNG decoders are tested with, against digests that another
/// decoder gave. The files lie beside the checkout or where `MMOE_SHARED_DATA` says.
@Suite struct PNGSuiteTests {
  /// One entry of `expected.json`; an invalid file has no more than its name.
  struct Picture: Decodable, Sendable, CustomTestStringConvertible {
    var file: String
    var valid: Bool
    var width: Int?
    var height: Int?
    var bitDepth: Int?
    var colorType: Int?
    var interlace: Int?
    var samplesSha256: String?
    var rgba8Sha256: String?
    var testDescription: String { file }
  }

  private struct Expectations: Decodable {
    var images: [Picture]
  }

  private static let folder: String = {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let beside = package.deletingLastPathComponent().appendingPathComponent("shared/data").path
    return (ProcessInfo.processInfo.environment["MMOE_SHARED_DATA"] ?? beside) + "/pngsuite"
  }()

  private static let pictures: [Picture] = {
    guard let json = FileManager.default.contents(atPath: folder + "/expected.json") else { return [] }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return (try? decoder.decode(Expectations.self, from: json).images) ?? []
  }()

  private static let hint: Comment = "no pngsuite/expected.json in ../shared/data or $MMOE_SHARED_DATA"

  private func bytes(_ picture: Picture) throws -> [UInt8] {
    try readFile(Self.folder + "/" + picture.file, limit: 1 << 20)
  }

  @Test(.enabled(if: !pictures.isEmpty, hint), arguments: pictures.filter(\.valid))
  func decodes(_ picture: Picture) throws {
    let bytes = try bytes(picture)
    let rgba = try PNGCodec.decode(bytes, form: .rgba, name: picture.file, limits: .standard) { $0 }
    #expect(SHA256.hex(rgba.bytes) == picture.rgba8Sha256)
    #expect(rgba.width == picture.width && rgba.height == picture.height)
    #expect(rgba.bitDepth == picture.bitDepth && rgba.colorType == picture.colorType)
    #expect(rgba.interlaced == (picture.interlace == 1))

    let samples = try PNGCodec.decode(bytes, form: .samples, name: picture.file, limits: .standard) { $0 }
    #expect(SHA256.hex(samples.bytes) == picture.samplesSha256)

    let image = try RGBImage(contentsOf: Self.folder + "/" + picture.file)
    let white = (0..<rgba.width * rgba.height * 3).map { i in
      let alpha = Double(rgba.bytes[i / 3 * 4 + 3]) / 255
      return UInt8((Double(rgba.bytes[i / 3 * 4 + i % 3]) * alpha + 255 * (1 - alpha)).rounded())
    }
    #expect(image.pixels == white)
  }

  @Test(.enabled(if: !pictures.isEmpty, hint), arguments: pictures.filter { !$0.valid })
  func refuses(_ picture: Picture) throws {
    let path = Self.folder + "/" + picture.file
    let text = try #require(message { _ = try RGBImage(contentsOf: path) })
    #expect(text.hasPrefix(path + ": ") && text.count > path.count + 5)
    #expect(!text.contains("\n"))
  }

  @Test(.enabled(if: !pictures.isEmpty, hint)) func suiteIsWhole() {
    #expect(Self.pictures.filter(\.valid).count == 161)
    #expect(Self.pictures.filter { !$0.valid }.count == 14)
  }

  /// The digests above mean nothing if the hash is wrong: the examples of FIPS 180-4.
  @Test func hashIsSHA256() {
    #expect(SHA256.hex([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(SHA256.hex(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    let twoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
    #expect(
      SHA256.hex(Array(twoBlocks.utf8)) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    let million = [UInt8](repeating: 0x61, count: 1_000_000)
    #expect(SHA256.hex(million) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }
}
