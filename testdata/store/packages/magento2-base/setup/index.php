<?php

/** There is no web setup. */

http_response_code(404);
