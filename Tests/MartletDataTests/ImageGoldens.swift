import Foundation

/// Made by Pillow 13.0.0 and NumPy: `default_rng(3).integers(0, 256, …)` saved as PNG (5×7 colour, then 6×6 grey), a
/// smooth 16×16 gradient saved as JPEG, and `Image.resize(…, BILINEAR)` of the first two.
enum ImageGoldens {
    static let colorPNG = Data(base64Encoded: colorPNGText).map { Array($0) } ?? []
    static let greyPNG = Data(base64Encoded: greyPNGText).map { Array($0) } ?? []
    static let jpeg = Data(base64Encoded: jpegText).map { Array($0) } ?? []
    static let colorPNGText =
        "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAeUlEQVR4nAFuAJH/APjCvs+TGu0V9dPvLQWdnzw27G0uxwBSIM0k"
        + "B4beOZIIlQ4PFgqQ0BgYBykAC1U7aOFu4skInxobo3ohKclDRqbkASgys9h/1j9cM8AzognIPhEVAXmh1gKzVXRkPPYJ1uwWCSYI"
        + "kfBSMwarsLwCTi0+R/evqQAAAABJRU5ErkJggg=="
    static let greyPNGText =
        "iVBORw0KGgoAAAANSUhEUgAAAAYAAAAGCAAAAADFp7CUAAAANUlEQVR4nAEqANX/AWENyl60dwE+7sIB89oADs25wUnuBL8n0877"
        + "2wKCdCHaFPwCm+nT6K/hrdUWQToaY14AAAAASUVORK5CYII="
    static let jpegText =
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoK"
        + "CgoKBggLDAsKDAkKCgr/2wBDAQICAgICAgUDAwUKBwYHCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoK"
        + "CgoKCgoKCgr/wAARCAAQABADAREAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUF"
        + "BAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVW"
        + "V1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
        + "4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAEC"
        + "AxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVm"
        + "Z2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq"
        + "8vP09fb3+Pn6/9oADAMBAAIRAxEAPwD4g8E/sqfcxpv/AI5X+j3jFxh/E97ufIeFXHv8P3+x6/4J/ZU+5/xLv/Ha/wAqfGHjD+J7"
        + "3c/0q8KuPf4fv9j7O8E/sqfc/wCJb/45X9WeMPGH8T3u5/z/APhVx7/D9/sev+Cf2VPuf8S3H/Aa/wAqfGLjD+J73c/0q8KuPf4f"
        + "v9j/2Q=="
    static let colorPixels: [UInt8] = [
        248, 194, 190, 207, 147, 26, 237, 21, 245, 211, 239, 45, 5, 157, 159, 60, 54, 236, 109, 46, 199,
        82, 32, 205, 36, 7, 134, 222, 57, 146, 8, 149, 14, 15, 22, 10, 144, 208, 24, 24, 7, 41, 11, 85, 59,
        104, 225, 110, 226, 201, 8, 159, 26, 27, 163, 122, 33, 41, 201, 67, 70, 166, 228, 40, 50, 179, 0,
        177, 137, 63, 13, 188, 255, 64, 94, 8, 8, 156, 25, 29, 157, 146, 190, 115, 219, 135, 39, 100, 237,
        127, 72, 227, 168, 21, 73, 132, 16, 153, 140, 107, 80, 163, 61, 110, 47,
    ]
    static let greyPixels: [UInt8] = [
        97, 110, 56, 150, 74, 193, 62, 44, 238, 239, 226, 188, 14, 205, 185, 193, 73, 238, 205, 244, 160,
        110, 68, 201, 79, 104, 193, 72, 88, 197, 234, 81, 148, 48, 7, 166,
    ]
    static let colorResizedTo3x4: [UInt8] = [
        161, 104, 143, 182, 92, 129, 59, 132, 87, 80, 72, 135, 55, 112, 117, 153, 117, 76, 103, 89, 55, 71,
        145, 120, 102, 149, 116, 81, 132, 150, 55, 78, 141, 83, 105, 116,
    ]
    static let greyResizedTo9x8: [UInt8] = [
        97, 105, 90, 68, 138, 103, 119, 193, 80, 78, 104, 153, 189, 167, 166, 191, 54, 65, 131, 229, 231,
        212, 199, 196, 22, 119, 184, 195, 200, 137, 148, 230, 110, 181, 206, 170, 154, 101, 127, 220, 184,
        207, 200, 158, 111, 84, 120, 200, 100, 117, 150, 174, 92, 82, 127, 198, 157, 117, 122, 157, 74, 52,
        98, 182, 234, 138, 106, 136, 61, 22, 67, 166,
    ]
    static let jpegPixels: [UInt8] = [
        0, 1, 254, 241, 239, 14, 48, 112, 210,
    ]
}
