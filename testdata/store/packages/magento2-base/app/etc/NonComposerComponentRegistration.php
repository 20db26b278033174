<?php

/** Registers the modules, themes and language packs of app/. */

declare(strict_types=1);

(static function (): void {
    $root = dirname(__DIR__, 2);
    foreach (require __DIR__ . '/registration_globlist.php' as $pattern) {
        foreach (glob("$root/$pattern") as $file) {
            require_once $file;
        }
    }
})();
