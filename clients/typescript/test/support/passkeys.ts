/** A real browser with a virtual authenticator, in which a person keeps passkeys. */

import type { Browser, Page } from "puppeteer-core";
import { launch } from "./browser.ts";

export class Authenticator {
  readonly #browser: Browser;
  readonly #page: Page;

  private constructor(browser: Browser, page: Page) {
    this.#browser = browser;
    this.#page = page;
  }

  /** Opens an empty page of an origin where nobody has to listen. */
  static async start(origin: string): Promise<Authenticator> {
    const browser = await launch("chrome");
    const page = await browser.newPage();
    await page.setRequestInterception(true);
    page.on("request", (request) => {
      void request.respond({ contentType: "text/html", body: "<!doctype html><title>A</title>" });
    });
    await page.goto(origin);
    const devtools = await page.createCDPSession();
    await devtools.send("WebAuthn.enable");
    await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    return new Authenticator(browser, page);
  }

  /** Creates a passkey. */
  create(options: object): Promise<object> {
    return this.#ask("create", "parseCreationOptionsFromJSON", options);
  }

  /** Proves that the person holds a passkey. */
  get(options: object): Promise<object> {
    return this.#ask("get", "parseRequestOptionsFromJSON", options);
  }

  async stop(): Promise<void> {
    await this.#browser.close();
  }

  async #ask(call: string, parse: string, options: object): Promise<object> {
    const script = `(async () => {
      const publicKey = PublicKeyCredential.${parse}(${JSON.stringify(options)});
      return (await navigator.credentials.${call}({ publicKey })).toJSON();
    })()`;
    return (await this.#page.evaluate(script)) as object;
  }
}
